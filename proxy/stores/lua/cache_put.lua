-- Keeps answers of one scope unless it was erased meanwhile, and gives a lease back.
-- KEYS[1] salt of the scope; ARGV: the salt they were sealed with, lease holder, name of the
--         lease ('' none), then name, answer, time to live (ms) of each
-- Answers how many were kept.
local base = string.sub(KEYS[1], 1, -2)
if ARGV[3] ~= '' then
  local lease = base .. 'l:' .. ARGV[3]
  if redis.call('GETRANGE', lease, 0, #ARGV[2]) == ARGV[2] then redis.call('DEL', lease) end
end
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1]) ~= ARGV[1] then return 0 end
for i = 4, #ARGV, 3 do
  redis.call('SET', base .. 'e:' .. ARGV[i], ARGV[i + 1], 'PX', ARGV[i + 2])
end
return (#ARGV - 3) / 3
