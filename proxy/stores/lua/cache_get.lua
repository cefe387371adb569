-- Gets answers of one scope, and its salt; takes the lease of one that is missing, or goes on
-- with it if it is the holder's already.
-- KEYS[1] salt of the scope; ARGV: a salt if it has none of that size, lease holder ('' takes
--         none), time to live of the lease (ms), bytes that all answers may weigh, names ...
-- Answers {salt, 1 lease is the holder's | 0 not, answer or nil or 0 (too large) for each name ...}
local base = string.sub(KEYS[1], 1, -2)
local salt = redis.call('GETRANGE', KEYS[1], 0, #ARGV[1])
if #salt ~= #ARGV[1] then
  salt = ARGV[1]
  redis.call('SET', KEYS[1], salt)
end
local out, room, missing = { salt, 0 }, tonumber(ARGV[4]), false
for i = 5, #ARGV do
  local name = base .. 'e:' .. ARGV[i]
  local found = redis.call('GETRANGE', name, 0, room)
  if found == '' then
    -- Missing, or empty.
    found = redis.call('GET', name)
  elseif #found > room then
    found = 0
  else
    room = room - #found
  end
  if i == 5 then missing = not found end
  out[i - 2] = found
end
if missing and ARGV[2] ~= '' then
  local lease = base .. 'l:' .. ARGV[5]
  if redis.call('SET', lease, ARGV[2], 'NX', 'PX', ARGV[3]) then
    out[2] = 1
  elseif redis.call('GETRANGE', lease, 0, #ARGV[2]) == ARGV[2] then
    redis.call('PEXPIRE', lease, ARGV[3])
    out[2] = 1
  end
end
return out
