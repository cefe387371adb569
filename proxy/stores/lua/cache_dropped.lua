-- Tells which answers were purged since an entry, after one more if there is one.
-- KEYS[1] a stream; ARGV: the last entry that was told ('' none), scope and name of an answer
--         that is purged now ('' none)
-- Answers {last entry ('' none), 1 these are all since | 0 some are gone, how many were left out,
--         then scope and name of each}, or an error if it is nothing that was written here.
local MOST, LONGEST = 1000, 512

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'stream' then
  if ARGV[3] == '' then return redis.error_reply('ODD the purges of caches are not ours') end
  redis.call('DEL', KEYS[1])
end
if ARGV[3] ~= '' then
  local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', MOST, '*', ARGV[2], ARGV[3])
  if type(added) == 'table' then
    -- Somebody has taken the last possible entry.
    redis.call('DEL', KEYS[1])
    redis.call('XADD', KEYS[1], '*', ARGV[2], ARGV[3])
  end
end

local since = ARGV[1] == '' and '-' or ARGV[1]
local rows = redis.call('XRANGE', KEYS[1], since, '+', 'COUNT', MOST + 1)
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local out = { newest[1] and newest[1][1] or '', 1, 0 }
if #rows > MOST or (ARGV[1] ~= '' and not (rows[1] and rows[1][1] == ARGV[1])) then
  out[2] = 0
  return out
end
for _, row in ipairs(rows) do
  local ident, words = row[1], row[2]
  if ident ~= ARGV[1] then
    if #words == 2 and #words[1] <= LONGEST and #words[2] <= LONGEST then
      out[#out + 1] = words[1]
      out[#out + 1] = words[2]
    else
      out[3] = out[3] + 1
    end
  end
end
return out
