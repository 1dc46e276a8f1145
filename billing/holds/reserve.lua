-- Reserve the money and the rates of one request, or change nothing at all.
--
-- KEYS  1 account, 2 holds of its shard, 3 done marker of the hold
-- ARGV  1 hold, 16 bytes; empty: only tell how the limits stand
--       2 epoch that the caller's connection saw
--       3 ask, msgpack: {organization, gateway, amount, {scope}, {{limit, kind, value, cost}}}
-- Answers a list of numbers; the first says what it is:
--   1 granted, 2 granted before: standing of each limit
--   3 over a limit: index of the limit, used, ms to wait or -1, standing of each limit
--   4 over money: index of the scope, balance, used of it, standing of each limit
--   5 unknown: 1 where the epoch is another one, index of each scope without a balance
--   6 settled or voided before
-- A standing is two numbers: what remains, and the ms until it is whole again.
--
-- The state of a rate (rpm, tpm) is the moment at which it is whole again, in µs; of a day (rpd)
-- day * DAYS + count; of streams their count.

local GRANTED, REPEATED, OVER_LIMIT, OVER_MONEY, UNKNOWN, OVER = 1, 2, 3, 4, 5, 6
local MOST = 9007199254740992
local MINUTE, DAY, DAYS = 60000000, 86400000000, 10000000000
local STREAM_WAIT_MS = 1000

local hold, epoch, packed = ARGV[1], ARGV[2], ARGV[3]
local ask = cmsgpack.unpack(packed)
local amount, scopes, limits = ask[3], ask[4], ask[5]

local function whole(number)
  return type(number) == 'number' and number >= 0 and number <= MOST and number % 1 == 0
end

if not whole(amount) then
  return redis.error_reply('INVALID an amount is a whole number from 0 to 2^53')
end

local fields = {'e'}
for i, scope in ipairs(scopes) do
  fields[3 * i - 1], fields[3 * i], fields[3 * i + 1] = 'b:' .. scope, 'u:' .. scope, 'h:' .. scope
end
local first = #fields
for i, limit in ipairs(limits) do
  if not (whole(limit[3]) and whole(limit[4])) then
    return redis.error_reply('INVALID limits and costs are whole numbers from 0 to 2^53')
  end
  fields[first + i] = 'l:' .. limit[2] .. ':' .. limit[1]
end

if redis.call('EXISTS', KEYS[3]) == 1 then
  return {OVER}
end
local is_repeat = redis.call('HEXISTS', KEYS[2], hold) == 1
local found = #fields > 1 and redis.call('HMGET', KEYS[1], unpack(fields)) or {}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local today = math.floor(now / DAY)

-- The state of each limit before and after, and the ms to wait where it does not fit.

local before, after, waits = {}, {}, {}
for i, limit in ipairs(limits) do
  local kind, value, cost = limit[2], limit[3], limit[4]
  local state = tonumber(found[first + i] or 0)
  local next, is_over, wait
  if kind == 'rpm' or kind == 'tpm' then
    state = math.max(state, now)
    next = state + cost * MINUTE / math.max(value, 1)
    is_over, wait = next > now + MINUTE + 1, math.ceil((next - now - MINUTE) / 1000)
  elseif kind == 'rpd' then
    state = math.floor(state / DAYS) == today and state or today * DAYS
    next = state + cost
    is_over, wait = next > today * DAYS + value, math.ceil(((today + 1) * DAY - now) / 1000)
  elseif kind == 'streams' then
    next = state + cost
    is_over, wait = next > value, STREAM_WAIT_MS
  else
    return redis.error_reply('INVALID no such kind of limit: ' .. tostring(kind))
  end
  before[i], after[i] = state, next
  if cost > value then
    waits[i] = -1
  elseif is_over then
    waits[i] = wait
  end
end

local function remaining(i, state)
  local kind, value = limits[i][2], limits[i][3]
  if kind == 'streams' then
    return math.max(0, value - state)
  elseif kind == 'rpd' then
    return math.max(0, value - state + today * DAYS)
  end
  return math.max(0, math.floor((now + MINUTE - state) * value / MINUTE + 0.000001))
end

local function reset_ms(i, state)
  local kind = limits[i][2]
  if kind == 'streams' then
    return 0
  elseif kind == 'rpd' then
    return math.ceil(((today + 1) * DAY - now) / 1000)
  end
  return math.ceil((state - now) / 1000)
end

local function with_standings(answer, states)
  for i = 1, #limits do
    answer[#answer + 1] = remaining(i, states[i])
    answer[#answer + 1] = reset_ms(i, states[i])
  end
  return answer
end

if is_repeat or hold == '' then
  return with_standings({is_repeat and REPEATED or GRANTED}, before)
end
for i = 1, #limits do
  if waits[i] then
    local used = limits[i][3] - remaining(i, before[i])
    return with_standings({OVER_LIMIT, i - 1, used, waits[i]}, before)
  end
end

local is_other = #scopes > 0 and found[1] ~= epoch
local unknown = {UNKNOWN, is_other and 1 or 0}
for i = 1, #scopes do
  if is_other or not found[3 * i - 1] then
    unknown[#unknown + 1] = i - 1
  end
end
if #unknown > 2 then
  return unknown
end
for i = 1, #scopes do
  local balance = tonumber(found[3 * i - 1])
  local used = tonumber(found[3 * i] or 0) + tonumber(found[3 * i + 1] or 0)
  if balance - used < amount then
    return with_standings({OVER_MONEY, i - 1, balance, used}, before)
  end
end

-- All is allowed: only now is anything written.

local changes = {}
for i = 1, #scopes do
  local n = #changes
  changes[n + 1], changes[n + 2] = fields[3 * i + 1], tonumber(found[3 * i + 1] or 0) + amount
end
for i = 1, #limits do
  local n = #changes
  changes[n + 1], changes[n + 2] = fields[first + i], after[i]
end
if #changes > 0 then
  redis.call('HSET', KEYS[1], unpack(changes))
end
redis.call('HSET', KEYS[2], hold, time[1] .. packed)
return with_standings({GRANTED}, after)
