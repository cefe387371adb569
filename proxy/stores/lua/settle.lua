-- Sets a lease right by what was used, once, and writes its row in the same step.
-- ARGV: lease, what was used as msgpack (the claims, with their amounts), record, rows to
--       keep, begun: '' if this cannot have arrived before, else when the book was begun
--       that it may have reached (0: nobody knows)
-- Answers 1 settled, 2 charged late, 0 nothing left to do
local lease, record, keep, seen = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
local actual = cmsgpack.unpack(ARGV[2])               -- all is read before the first write:
local known = call('HMGET', book .. ':l', lease, '*') -- a script that fails is not undone
local raw, begun = known[1], known[2]
if raw == '-' then return 0 end
local charges, is_due, cells = {}, record ~= '', {}
local texts = cells_of(actual)

if not raw then
  if seen ~= '' and (seen == '0' or seen == (begun or '0')) then return 0 end
  for i = 1, #actual do
    local c = actual[i]
    if c[1] == WINDOW then                            -- what a rate would have been charged has drained
      local window = window_of(c[2])
      local used = 0
      if texts[i] then
        local stored, of = window_cell(texts[i])
        if of >= window then used, window = stored, of end
      end
      note(cells, c[5], c[6], window_text(min(MAX_AMOUNT, used + c[7]), window))
      charges[#charges + 1] = charge(c[5], c[6], window, c[7])
      is_due = is_due or c[7] > 0
    end
  end
  write_cells(cells)
  if #actual > 0 then                                 -- with nothing to charge, twice does no harm:
    call('HSET', book .. ':l', lease, '-')            -- readers go by the last row of a lease
    call('ZADD', book .. ':x', whole(now + FORGET_US), lease)
  end
  local state = #actual > 0 and 'late' or 'settled'     -- of what no limit counts nothing was held
  if is_due then write_row(lease, state, charges, record, keep) end
  begin(begun)
  return #actual > 0 and 2 or 1
end

local held = cmsgpack.unpack(raw)
local at_first, taken = held[1], held[3]
if #taken ~= #actual then error('a settlement has one amount for each claim') end
if call('ZREM', book .. ':z', lease) == 1 then
  call('HDEL', book .. ':l', lease)
else
  is_due = true                                       -- its row says abandoned: another says otherwise
  call('HSET', book .. ':l', lease, '-')
end
for i = 1, #taken do
  local c, text = actual[i], texts[i]
  local kind, unit, speed, used = c[1], c[2], c[3], c[7]
  local amount, token = taken[i][4], taken[i][5]
  if kind == SLOT then
    call('ZREM', slot_key(c[5], c[6]), lease)
  elseif kind == RATE then
    if used > amount then                             -- overrun: debt
      local level, at, skip, since = drained(text, speed)
      level = min(MAX_LEVEL, level + (used - amount) * unit)
      note(cells, c[5], c[6], rate_text(level, at, skip, since))
    elseif used < amount and text then                -- only what has not drained yet goes back
      local level, at, skip, since = string.match(text, '(%S+) (%S+) (%S+) (%S+)')
      level, at, skip, since = tonumber(level), tonumber(at), tonumber(skip), tonumber(since)
      if at_first >= since then
        if now > at then level, at = level - (now - at) * speed, now end
        local back = min((amount - used) * unit, (token - at - skip) * speed, level)
        if back > 0 then
          note(cells, c[5], c[6], rate_text(level - back, at, skip + ceil(back / speed), since))
        end
      end
    end
  else
    if used ~= amount and text then
      local stored, of = window_cell(text)
      if of == token then
        stored = min(MAX_AMOUNT, max(0, stored + (used - amount)))
        note(cells, c[5], c[6], window_text(stored, of))
      end
    end
    charges[#charges + 1] = charge(c[5], c[6], token, used)
    is_due = is_due or used > 0
  end
end
write_cells(cells)
if is_due then write_row(lease, 'settled', charges, record, keep) end
return 1
