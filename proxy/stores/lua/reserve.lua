-- Takes every claim or none.
-- ARGV: lease ('' only looks), time to live (us), claims as msgpack
--       [[kind, unit, speed, cap, scope, limit, amount], ...], record
-- Answers {1 granted | 0 refused, claim in the way (1..), wait us (-1 never), begun at,
--          remaining and us until whole of each claim ...}
local lease, ttl = ARGV[1], tonumber(ARGV[2])
local claims = cmsgpack.unpack(ARGV[3])
local n = #claims
local known = call('HMGET', book .. ':l', lease, '*')
local texts = cells_of(claims)

local answer, fresh = { 1, 0, 0, tonumber(known[2] or 0) }, {}
local denied, longest, NEVER = 0, -1, MAX_AMOUNT
for i = 1, n do
  local c = claims[i]
  local kind, unit, speed, cap, amount, text = c[1], c[2], c[3], c[4], c[7], texts[i]
  local left, reset, wait = 0, 0, -1
  if kind == RATE then
    local level, at, skip, since = drained(text, speed)
    local room, cost = cap - level, amount * unit
    left, reset = floor(room / unit), ceil(level / speed)
    if cost > room then
      if cost > cap then wait = NEVER else wait = ceil((cost - room) / speed) end
    end
    fresh[i] = { level + cost, at, skip, since }
  elseif kind == SLOT then
    local key = slot_key(c[5], c[6])
    local used = call('ZCOUNT', key, '(' .. whole(now), '+inf')
    left = cap - used
    if used >= cap then wait = 0 end
    fresh[i] = { key, used == 0 }
  else
    local window, stop = window_of(unit)
    local used = 0
    if text then
      local stored, of = window_cell(text)
      if of >= window then used, window = stored, of end
    end
    left, reset = cap - used, stop - now
    if used + amount > cap then
      if amount > cap then wait = NEVER else wait = stop - now end
    end
    fresh[i] = { used + amount, window }
  end
  if wait > longest then denied, longest = i, wait end
  answer[3 + i * 2], answer[4 + i * 2] = max(0, left), reset
end

if lease ~= '' and known[1] then return answer end   -- its answer was lost, or it is over
if denied > 0 then
  answer[1], answer[2], answer[3] = 0, denied, longest
  if longest == NEVER then answer[3] = -1 end
  return answer
end
if lease == '' then return answer end

local expiry, taken, cells = whole(now + ttl), {}, {}
for i = 1, n do
  local c, f, left = claims[i], fresh[i], 3 + i * 2
  local token = 0
  if c[1] == RATE then
    note(cells, c[5], c[6], rate_text(f[1], f[2], f[3], f[4]))
    local drain = floor(f[1] / c[3])
    token = f[2] + f[3] + drain                        -- when it is drained, on the cell's clock
    answer[left] = answer[left] - c[7]
    answer[left + 1] = ceil(f[1] / c[3])
  elseif c[1] == SLOT then
    call('ZADD', f[1], expiry, lease)
    if f[2] or now % 64 == 0 then call('PEXPIRE', f[1], KEEP_MS) end
    answer[left] = answer[left] - 1
  else
    note(cells, c[5], c[6], window_text(f[1], f[2]))
    token = f[2]
    answer[left] = answer[left] - c[7]
  end
  taken[i] = { c[1], c[5], c[6], c[7], token }
end
write_cells(cells)
call('ZADD', book .. ':z', expiry, lease)
call('HSET', book .. ':l', lease, cmsgpack.pack({ now, ARGV[4], taken }))
answer[4] = tonumber(begin(known[2]))
return answer
