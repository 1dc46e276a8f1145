-- Reserve the money and the rates of one request, or change nothing at all.
--
-- KEYS  1 account, 2 holds of its shard, 3 done marker of the hold
-- ARGV  1 hold, 16 bytes; empty: only tell how the limits stand
--       2 epoch that the caller's connection saw
--       3 ask, msgpack: {organization, gateway, amount, {scope}, {{limit, kind, value, cost}}}
-- Answers a list; its first number is one of `Answer` in client.py:
--   {GRANTED | REPEATED, standing of each limit}
--   {OVER_LIMIT, index of the limit, used, ms to wait or -1, standing of each limit}
--   {OVER_MONEY, index of the scope, balance, used of it, standing of each limit}
--   {UNKNOWN, 1 where the epoch is another one, index of each scope without a balance}
--   {OVER}  it was settled or voided before
-- A standing is two numbers: what remains, and the ms until it is whole again.

local GRANTED, REPEATED, OVER_LIMIT, OVER_MONEY, UNKNOWN, OVER = 1, 2, 3, 4, 5, 6
local MOST = 9007199254740992
local MINUTE, DAY = 60000000, 86400000000
local DAYS = 10000000000 -- a day's count is kept as day * DAYS + count
local STREAM_WAIT_MS = 1000

local hold, epoch, packed = ARGV[1], ARGV[2], ARGV[3]
local _, _, amount, scopes, limits = unpack(cmsgpack.unpack(packed))

local function whole(number)
  return type(number) == 'number' and number >= 0 and number <= MOST and number % 1 == 0
end

if not whole(amount) then
  return redis.error_reply('INVALID an amount is a whole number from 0 to 2^53')
end

local fields = {'e'}
for _, scope in ipairs(scopes) do
  local n = #fields
  fields[n + 1], fields[n + 2], fields[n + 3] = 'b:' .. scope, 'u:' .. scope, 'h:' .. scope
end
for _, limit in ipairs(limits) do
  if not (whole(limit[3]) and whole(limit[4])) then
    return redis.error_reply('INVALID limits and costs are whole numbers from 0 to 2^53')
  end
  fields[#fields + 1] = 'l:' .. limit[2] .. ':' .. limit[1]
end

local is_repeat = false
if hold ~= '' then
  if redis.call('EXISTS', KEYS[3]) == 1 then
    return {OVER}
  end
  is_repeat = redis.call('HEXISTS', KEYS[2], hold) == 1
end
local found = redis.call('HMGET', KEYS[1], unpack(fields))
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local today = math.floor(now / DAY)

-- Each kind of limit: its state as it is now, after a cost, and what a state means.
-- The state of a rate is the moment at which it is whole again; the others count.
local rate = {
  now = function(state) return math.max(state, now) end,
  after = function(state, value, cost) return state + cost * MINUTE / math.max(value, 1) end,
  fits = function(state) return state - now <= MINUTE + 1 end,
  wait = function(after) return math.ceil((after - now - MINUTE) / 1000) end,
  remaining = function(state, value)
    local left = (MINUTE - state + now) * value / MINUTE
    return math.max(0, math.floor(left + 0.000001))
  end,
  reset = function(state) return math.ceil((state - now) / 1000) end,
}
local daily = {
  now = function(state)
    return math.floor(state / DAYS) == today and state or today * DAYS
  end,
  after = function(state, _, cost) return state + cost end,
  fits = function(state, value) return state - today * DAYS <= value end,
  wait = function() return math.ceil(((today + 1) * DAY - now) / 1000) end,
  remaining = function(state, value) return math.max(0, value - state + today * DAYS) end,
  reset = function() return math.ceil(((today + 1) * DAY - now) / 1000) end,
}
local streams = {
  now = function(state) return state end,
  after = function(state, _, cost) return state + cost end,
  fits = function(state, value) return state <= value end,
  wait = function() return STREAM_WAIT_MS end,
  remaining = function(state, value) return math.max(0, value - state) end,
  reset = function() return 0 end,
}
local kinds = {rpm = rate, tpm = rate, rpd = daily, streams = streams}

local function standings(answer, states)
  for i, limit in ipairs(limits) do
    local kind = kinds[limit[2]]
    answer[#answer + 1] = kind.remaining(states[i], limit[3])
    answer[#answer + 1] = kind.reset(states[i])
  end
  return answer
end

local before, after = {}, {}
local first = 1 + 3 * #scopes
for i, limit in ipairs(limits) do
  local kind = kinds[limit[2]]
  if not kind then
    return redis.error_reply('INVALID no such kind of limit: ' .. tostring(limit[2]))
  end
  before[i] = kind.now(tonumber(found[first + i] or 0))
  after[i] = kind.after(before[i], limit[3], limit[4])
end
if is_repeat or hold == '' then
  return standings({is_repeat and REPEATED or GRANTED}, before)
end

for i, limit in ipairs(limits) do
  local _, name, value, cost = unpack(limit)
  local kind = kinds[name]
  if cost > value or not kind.fits(after[i], value) then
    local used = value - kind.remaining(before[i], value)
    local wait = cost > value and -1 or kind.wait(after[i])
    return standings({OVER_LIMIT, i - 1, used, wait}, before)
  end
end

if #scopes > 0 then
  local is_other = found[1] ~= epoch
  local unknown = {UNKNOWN, is_other and 1 or 0}
  for i = 1, #scopes do
    if is_other or not found[3 * i - 1] then
      unknown[#unknown + 1] = i - 1
    end
  end
  if #unknown > 2 then
    return unknown
  end
end
for i = 1, #scopes do
  local balance = tonumber(found[3 * i - 1])
  local used = tonumber(found[3 * i] or 0) + tonumber(found[3 * i + 1] or 0)
  if balance - used < amount then
    return standings({OVER_MONEY, i - 1, balance, used}, before)
  end
end

local changes = {}
for i, scope in ipairs(scopes) do
  changes[#changes + 1] = 'h:' .. scope
  changes[#changes + 1] = string.format('%.0f', tonumber(found[3 * i + 1] or 0) + amount)
end
for i = 1, #limits do
  changes[#changes + 1] = fields[first + i]
  changes[#changes + 1] = string.format('%.17g', after[i])
end
if #changes > 0 then
  redis.call('HSET', KEYS[1], unpack(changes))
end
redis.call('HSET', KEYS[2], hold, string.format('%013.0f', now / 1000) .. packed)
return standings({GRANTED}, after)
