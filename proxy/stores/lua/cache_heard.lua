-- Tells questions of a frame in the order asked for, and leaves out what no replica has written.
-- KEYS[1] salt of the scope; ARGV: frame, XRANGE | XREVRANGE, entry to go on from (told already),
--         end, how many, longest name, longest question, bytes of all together
-- Answers {1 there are more | 0, how many were left out, first and last entry looked at ('' none),
--         then entry, name, sealed question of each}
local frame = string.sub(KEYS[1], 1, -2) .. 'q:' .. ARGV[1]
local rows = redis.call(ARGV[2], frame, ARGV[3], ARGV[4], 'COUNT', ARGV[5] + 1)
local longest, largest, room = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local out = { 0, 0, '', '' }
if #rows > tonumber(ARGV[5]) then out[1] = 1 end
for _, row in ipairs(rows) do
  local ident, words = row[1], row[2]
  if ident ~= ARGV[3] then
    if #words == 2 and #words[1] <= longest and #words[2] <= largest then
      room = room - #words[2]
      if room < 0 then
        out[1] = 1
        break
      end
      out[#out + 1] = ident
      out[#out + 1] = words[1]
      out[#out + 1] = words[2]
    else
      out[2] = out[2] + 1
    end
    if out[3] == '' then out[3] = ident end
    out[4] = ident
  end
end
return out
