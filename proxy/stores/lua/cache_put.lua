-- Keeps answers of one scope unless it was erased meanwhile, or they were purged just now, and
-- gives a lease back.
-- KEYS[1] salt of the scope; ARGV: the salt they were sealed with, lease holder, name of the
--         lease ('' none), then name, answer, time to live (ms) of each
-- Answers how many were kept.
local base = string.sub(KEYS[1], 1, -2)
if ARGV[3] ~= '' then
  local lease = base .. 'l:' .. ARGV[3]
  if redis.call('GETRANGE', lease, 0, #ARGV[2]) == ARGV[2] then redis.call('DEL', lease) end
end
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1]) ~= ARGV[1] then return 0 end
local kept = 0
for i = 4, #ARGV, 3 do
  if redis.call('EXISTS', base .. 'x:' .. ARGV[i]) == 0 then
    redis.call('SET', base .. 'e:' .. ARGV[i], ARGV[i + 1], 'PX', ARGV[i + 2])
    kept = kept + 1
  end
end
return kept
