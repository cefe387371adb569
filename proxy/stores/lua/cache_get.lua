-- Gets answers of one scope, and its salt; takes the lease of one that is missing, or goes on
-- with it if it is the holder's already.
-- KEYS[1] salt of the scope; ARGV: a salt if it has none, lease holder ('' takes none),
--         time to live of the lease (ms), names ...
-- Answers {salt, 1 lease is the holder's | 0 not, answer or nil for each name ...}
local base = string.sub(KEYS[1], 1, -2)
local salt = redis.call('GET', KEYS[1])
if not salt then
  salt = ARGV[1]
  redis.call('SET', KEYS[1], salt)
end
local out, missing = { salt, 0 }, false
for i = 4, #ARGV do
  local found = redis.call('GET', base .. 'e:' .. ARGV[i])
  if i == 4 then missing = not found end
  out[i - 1] = found
end
if missing and ARGV[2] ~= '' then
  local lease = base .. 'l:' .. ARGV[4]
  if redis.call('SET', lease, ARGV[2], 'NX', 'PX', ARGV[3]) then
    out[2] = 1
  elseif redis.call('GET', lease) == ARGV[2] then
    redis.call('PEXPIRE', lease, ARGV[3])
    out[2] = 1
  end
end
return out
