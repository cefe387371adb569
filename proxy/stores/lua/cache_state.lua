-- Tells what caches must hear of: the generation, and the epochs of routes.  Changes one of them
-- first if a generation is given.
-- KEYS[1] a hash; ARGV: a new generation ('' changes nothing), field of the route that gets a
--         new epoch instead ('' none), its least
-- Answers {generation, how many fields could not be read, field, epoch, ...}, or an error if all
-- of it is nothing that was written here.
local FIELDS, LONGEST = 4096, 512
local now = tonumber(redis.call('TIME')[1])
-- A new epoch is at least the time, so that it is new to those too who know of one that was
-- lost since.  One far beyond was put there by somebody else.
local most = now + 1e9

local function epoch_of(field)
  if redis.call('HSTRLEN', KEYS[1], field) > 15 then return nil end
  local value = redis.call('HGET', KEYS[1], field)
  local number = value and string.match(value, '^%d+$') and tonumber(value)
  return number and number <= most and number or nil
end

local kind = redis.call('TYPE', KEYS[1]).ok
local is_odd = kind ~= 'none' and (kind ~= 'hash' or redis.call('HLEN', KEYS[1]) > FIELDS)
if ARGV[1] ~= '' then
  if is_odd then redis.call('DEL', KEYS[1]) end
  if ARGV[2] ~= '' then
    local epoch = math.max((epoch_of(ARGV[2]) or 0) + 1, tonumber(ARGV[3]), now)
    if epoch > most then return redis.error_reply('ODD an epoch that cannot be raised') end
    redis.call('HSET', KEYS[1], ARGV[2], string.format('%.0f', epoch))
  end
  -- With what was odd an erasure may have gone that not all have heard of.
  if ARGV[2] == '' or is_odd then redis.call('HSET', KEYS[1], 'generation', ARGV[1]) end
  is_odd = false
end
if is_odd then return redis.error_reply('ODD the state of caches is not ours') end

local out = { '', 0 }
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local epoch = string.sub(field, 1, 2) == 'r:' and #field <= LONGEST and epoch_of(field)
  if epoch then
    out[#out + 1] = field
    out[#out + 1] = string.format('%.0f', epoch)
  elseif field == 'generation' and redis.call('HSTRLEN', KEYS[1], field) <= 64 then
    out[1] = redis.call('HGET', KEYS[1], field)
  else
    out[2] = out[2] + 1
  end
end
return out
