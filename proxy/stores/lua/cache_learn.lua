-- Keeps a question of one scope for all replicas, unless the scope was erased meanwhile.
-- KEYS[1] salt of the scope; ARGV: the salt it was sealed with, frame, name, sealed question,
--         time to live of the frame (ms), how many are kept about
-- Answers 1 kept | 0 not.
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1]) ~= ARGV[1] then return 0 end
local frame = string.sub(KEYS[1], 1, -2) .. 'q:' .. ARGV[2]
redis.call('XADD', frame, 'MAXLEN', '~', ARGV[6], '*', ARGV[3], ARGV[4])
if redis.call('PTTL', frame) < tonumber(ARGV[5]) then redis.call('PEXPIRE', frame, ARGV[5]) end
return 1
