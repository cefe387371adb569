-- Keeps leases that are still open, and finds those that nobody will settle.
-- ARGV: time to live (us), rows to keep, lease ...
-- Answers how many of the leases are still open
local ttl, keep = tonumber(ARGV[1]), ARGV[2]
local kept = 0
for i = 3, #ARGV do
  local lease = ARGV[i]
  local expiry = tonumber(call('ZSCORE', book .. ':z', lease) or 0)
  if expiry > now then
    kept = kept + 1
    if now + ttl > expiry then
      expiry = whole(now + ttl)
      local taken = cmsgpack.unpack(call('HGET', book .. ':l', lease))[3]
      call('ZADD', book .. ':z', expiry, lease)
      for j = 1, #taken do
        if taken[j][1] == SLOT then call('ZADD', slot_key(taken[j][2], taken[j][3]), expiry, lease) end
      end
    end
  end
end
sweep(1000, keep)
local over = call('ZRANGEBYSCORE', book .. ':x', '-inf', whole(now), 'LIMIT', 0, 1000)
for i = 1, #over do
  call('HDEL', book .. ':l', over[i])
  call('ZREM', book .. ':x', over[i])
end
return kept
