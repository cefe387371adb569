-- One tenant's book: what the scripts share.  The same arithmetic, to the same whole
-- numbers, as rules/buckets.py and rules/settlement.py; a property test compares them.
--
-- KEYS[1] is the hash :l of the book ss:{t.TENANT}; every key of the book begins with that
-- name, so one hash tag holds them all.  Only :l is declared: a slot that is moving stays
-- here until it has moved, but what else of a book has moved before it is not seen.
--   :z        zset    open leases by expiry
--   :l        hash    what stands behind each lease; '-' once it is done with for good;
--                     field * says when this book was begun
--   :x        zset    leases to remember, until when
--   :u        stream  the billing ledger
--   :c:SCOPE  hash    of each limit of that scope: "level at skip since" of a rate (ticks,
--                     us, us, us), "used window" of a window
--   :s:SCOPE:LIMIT  zset  leases in a slot by expiry
-- Whole numbers up to 2^53 are exact here.  They are written with %d, because .. and
-- tostring keep only 14 digits.
local call, floor, ceil, format = redis.call, math.floor, math.ceil, string.format
local min, max = math.min, math.max
local book = string.sub(KEYS[1], 1, -3)
local RATE, WINDOW, SLOT = 1, 2, 3
local DAY_US, FORGET_US, KEEP_MS = 86400000000, 86400000000, 3456000000   -- kept: forty days
local MAX_LEVEL, MAX_AMOUNT = 2 ^ 50, 2 ^ 53 - 1
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function whole(n) return format('%d', n) end
local function slot_key(scope, name) return book .. ':s:' .. scope .. ':' .. name end

-- A rate's cell brought up to now; an empty one begins anew.
local function drained(text, speed)
  if not text then return 0, now, 0, now end
  local level, at, skip, since = string.match(text, '(%S+) (%S+) (%S+) (%S+)')
  level, at, skip, since = tonumber(level), tonumber(at), tonumber(skip), tonumber(since)
  if now > at then
    level = level - (now - at) * speed
    if level <= 0 then return 0, now, 0, now end
    at = now
  end
  if level == 0 then return 0, at, 0, at end
  return level, at, skip, since
end

local function window_cell(text)
  local used, window = string.match(text, '(%S+) (%S+)')
  return tonumber(used), tonumber(window)
end

-- The number of the day (1) or month (2) that now is in, and its end.  Months by Howard
-- Hinnant's civil_from_days and days_from_civil: years begin in March.
local function window_of(per)
  local day = floor(now / DAY_US)
  if per == 1 then return day, (day + 1) * DAY_US end
  local z = day + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local mp = floor((5 * (doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))) + 2) / 153)
  local month = (yoe + era * 400) * 12 + mp + 2
  local year = floor((month - 1) / 12)
  mp = month - 1 - year * 12
  era = floor(year / 400)
  yoe = year - era * 400
  doe = yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + floor((153 * mp + 2) / 5)
  return month, (era * 146097 + doe - 719468) * DAY_US
end

-- The cells that claims ask for: one read for each scope.  Gives for each claim its cell's
-- text, and the scopes that were asked for.
local function cells_of(claims)
  local names, scopes, place, texts = {}, {}, {}, {}
  for i = 1, #claims do
    local c = claims[i]
    if c[1] ~= SLOT then
      local of = names[c[5]]
      if not of then
        of = {}
        names[c[5]] = of
        scopes[#scopes + 1] = c[5]
      end
      of[#of + 1] = c[6]
      place[i] = #of
    end
  end
  local found = {}
  for i = 1, #scopes do
    found[scopes[i]] = call('HMGET', book .. ':c:' .. scopes[i], unpack(names[scopes[i]]))
  end
  for i = 1, #claims do
    texts[i] = place[i] and found[claims[i][5]][place[i]] or false
  end
  return texts
end

local function rate_text(level, at, skip, since)
  return format('%d %d %d %d', level, at, skip, since)
end

local function window_text(used, window) return format('%d %d', used, window) end

-- Notes a cell to be written; write_cells writes them, one write for each scope.
local function note(cells, scope, name, text)
  local of = cells[scope]
  if not of then
    of = {}
    cells[scope] = of
  end
  of[#of + 1] = name
  of[#of + 1] = text
end

local function write_cells(cells)
  for scope, of in pairs(cells) do
    local key = book .. ':c:' .. scope
    -- A hash that is new needs its end; one that is used has it moved now and then.
    if call('HSET', key, unpack(of)) * 2 == #of or now % 64 == 0 then call('PEXPIRE', key, KEEP_MS) end
  end
end

-- A row of the billing ledger; charges are "counter window amount" each.
local function write_row(lease, state, charges, record, keep)
  call('XADD', book .. ':u', 'MAXLEN', '~', keep, '*',
    'l', lease, 's', state, 'c', table.concat(charges, ' '), 'r', record)
end

local function charge(scope, name, window, amount)
  return format('%s:%s %d %d', scope, name, window, amount)
end

-- Begins the book, or moves its end now and then.
local function begin(begun)
  if not begun then
    call('HSET', book .. ':l', '*', whole(now))
  elseif now % 64 ~= 0 then return begun end
  for _, part in ipairs({ ':l', ':z', ':x', ':u' }) do call('PEXPIRE', book .. part, KEEP_MS) end
  return begun or whole(now)
end

-- Marks leases that nobody settled in time; their estimates stand.  At most `most` at
-- once, so that a crash of many costs no single call much.
local function sweep(most, keep)
  local late = call('ZRANGEBYSCORE', book .. ':z', '-inf', whole(now), 'LIMIT', 0, most)
  for i = 1, #late do
    local lease = late[i]
    local held = call('HGET', book .. ':l', lease)
    local charges, is_due = {}, false
    call('ZREM', book .. ':z', lease)
    if held then
      held = cmsgpack.unpack(held)
      for j = 1, #held[3] do
        local c = held[3][j]
        if c[1] == SLOT then call('ZREM', slot_key(c[2], c[3]), lease)
        elseif c[1] == WINDOW then
          charges[#charges + 1] = charge(c[2], c[3], c[5], c[4])
          is_due = is_due or c[4] > 0
        end
      end
      call('ZADD', book .. ':x', whole(now + FORGET_US), lease)
      if is_due or held[2] ~= '' then write_row(lease, 'abandoned', charges, held[2], keep) end
    end
  end
end
