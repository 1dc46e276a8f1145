-- End a hold once: settle it and queue its record in the same step, or void it.
--
-- KEYS  1 account, 2 holds of its shard, 3 done marker of the hold, 4 stream of the shard
-- ARGV  1 hold, 2 mark, 3 seconds to remember it, and to settle also
--       4 actual amount, 5 tokens, 6 scopes joined by ',' where the hold is lost, 7 record,
--       8 organization
-- A mark is 's' settled, 'v' voided, 'r' voided by the reaper; a settle goes over that alone.
-- Answers 1, or 0 where it was done before.

local MOST = 9007199254740992
local MINUTE = 60000000
local hold, mark = ARGV[1], ARGV[2]
local is_settle = mark == 's'
local actual, tokens = tonumber(ARGV[4] or 0), tonumber(ARGV[5] or 0)

local done = redis.call('GET', KEYS[3])
if done and not (done == 'r' and is_settle) then
  return 0
end
for _, number in pairs({actual or -1, tokens or -1}) do
  if not (number >= 0 and number <= MOST and number % 1 == 0) then
    return redis.error_reply('INVALID amounts and tokens are whole numbers from 0 to 2^53')
  end
end

local amount, scopes, limits = 0, {}, {}
local kept = redis.call('HGET', KEYS[2], hold)
if kept then
  local ask = cmsgpack.unpack(string.sub(kept, 11))
  amount, scopes, limits = ask[3], ask[4], ask[5]
elseif is_settle then
  for scope in string.gmatch(ARGV[6], '[^,]+') do
    scopes[#scopes + 1] = scope
  end
end

local fields = {}
for _, scope in ipairs(scopes) do
  local n = #fields
  fields[n + 1], fields[n + 2], fields[n + 3] = 'b:' .. scope, 'u:' .. scope, 'h:' .. scope
end
for _, limit in ipairs(limits) do
  fields[#fields + 1] = 'l:' .. limit[2] .. ':' .. limit[1]
end

local changes = {}
local function change(field, number)
  changes[#changes + 1] = field
  changes[#changes + 1] = number
end

if #fields > 0 then
  local found = redis.call('HMGET', KEYS[1], unpack(fields))
  for i = 1, 3 * #scopes, 3 do
    if found[i] then -- a scope without a balance has no counters: a seed counts them anew
      change(fields[i + 1], tonumber(found[i + 1] or 0) + actual)
      change(fields[i + 2], math.max(0, tonumber(found[i + 2] or 0) - amount))
    end
  end
  for i, limit in ipairs(limits) do
    local _, kind, value, cost = unpack(limit)
    local at = 3 * #scopes + i
    if found[at] and kind == 'tpm' and cost ~= tokens then
      local back = (cost - tokens) * MINUTE / math.max(value, 1)
      change(fields[at], tonumber(found[at]) - back)
    elseif found[at] and kind == 'streams' then
      change(fields[at], math.max(0, tonumber(found[at]) - cost))
    end
  end
end

redis.call('SET', KEYS[3], mark, 'EX', ARGV[3])
if kept then
  redis.call('HDEL', KEYS[2], hold)
end
if #changes > 0 then
  redis.call('HSET', KEYS[1], unpack(changes))
end
if is_settle then
  redis.call('XADD', KEYS[4], '*', 'r', ARGV[7], 'n', ARGV[4], 's', table.concat(scopes, ','),
    'h', hold, 'o', ARGV[8])
end
return 1
