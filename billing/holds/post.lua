-- Tell accounts of one shard what PostgreSQL says: new balances, and entries that are booked.
--
-- KEYS  1 stream of the shard, 2 its holds, and from 3 on one account for each of the books
-- ARGV  1 consumer group, 2 '1' to count anew what is unposted and held
--       3 books, msgpack: {{organization, version, {{scope, balance}}, {{entry, amount, {scope}}}}}
-- Answers for each of the books 1, or 0 where the account has a newer version.
--
-- An account of another epoch takes the balances whatever their version: it may be of before a
-- crash that lost the end of the append-only file. It is counted anew too, where that is quick;
-- its counters and the stream are of one moment of the past, since a script is lost as a whole.

local MOST = 9007199254740992
local DAY, DAYS = 86400000000, 10000000000
local RECOUNT_MOST = 5000 -- entries: beyond, a count would keep the gateways waiting
local PAGE = 1000

local stream, holds, group = KEYS[1], KEYS[2], ARGV[1]
local is_recount = ARGV[2] == '1'
local books = cmsgpack.unpack(ARGV[3])

local function whole(number, least)
  return type(number) == 'number' and number >= least and number <= MOST and number % 1 == 0
end

for _, book in ipairs(books) do
  local are_whole = whole(book[2], 0)
  for _, balance in ipairs(book[3]) do
    are_whole = are_whole and whole(balance[2], -MOST)
  end
  for _, entry in ipairs(book[4]) do
    are_whole = are_whole and whole(entry[2], 0)
  end
  if not are_whole then
    return redis.error_reply('INVALID versions and amounts are whole numbers up to 2^53')
  end
end

-- One command for many arguments, in pieces that Lua's stack can hold.
local function call_all(command, head, arguments)
  for from = 1, #arguments, PAGE do
    local piece = {unpack(arguments, from, math.min(from + PAGE - 1, #arguments))}
    for n = #head, 1, -1 do
      table.insert(piece, 1, head[n])
    end
    redis.call(command, unpack(piece))
  end
end

local info = redis.call('INFO', 'server', 'replication')
local epoch = string.match(info, '\nrun_id:(%x+)') .. string.match(info, 'master_replid:(%x+)')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- What each account is to become.

local accounts, by_organization, is_missing = {}, {}, false
for i, book in ipairs(books) do
  local found, had = redis.call('HGETALL', KEYS[2 + i]), {}
  for n = 1, #found, 2 do
    had[found[n]] = found[n + 1]
  end
  local is_current = had.e == epoch
  local is_taken = not is_current or book[2] >= tonumber(had.v)
  local account = {key = KEYS[2 + i], had = had, is_taken = is_taken, balances = {},
    unposted = {}, held = {}, streams = {}}
  is_recount = is_recount or not is_current
  if is_taken then
    for _, balance in ipairs(book[3]) do
      account.balances[balance[1]] = balance[2]
      is_missing = is_missing or not had['b:' .. balance[1]]
    end
  else
    for field, value in pairs(had) do
      if string.sub(field, 1, 2) == 'b:' then
        account.balances[string.sub(field, 3)] = tonumber(value)
      end
    end
  end
  for scope in pairs(account.balances) do
    account.unposted[scope] = tonumber(had['u:' .. scope] or 0)
    account.held[scope] = tonumber(had['h:' .. scope] or 0)
  end
  accounts[i], by_organization[book[1]] = account, account
end

-- Entries go off the stream; what is unposted falls by those that were still there.

for i, book in ipairs(books) do
  local unposted = accounts[i].unposted
  local ids = {}
  for n, entry in ipairs(book[4]) do
    ids[n] = entry[1]
  end
  call_all('XACK', {stream, group}, ids)
  for _, entry in ipairs(book[4]) do
    if redis.call('XDEL', stream, entry[1]) == 1 then
      for _, scope in ipairs(entry[3]) do
        if unposted[scope] then
          unposted[scope] = math.max(0, unposted[scope] - entry[2])
        end
      end
    end
  end
end

-- The count anew, from the stream and the holds themselves.

local function add(sums, scopes, amount)
  for _, scope in ipairs(scopes) do
    if sums[scope] then
      sums[scope] = sums[scope] + amount
    end
  end
end

local function count_stream()
  local from = '-'
  repeat
    local page = redis.call('XRANGE', stream, from, '+', 'COUNT', PAGE)
    for _, entry in ipairs(page) do
      local fields = {}
      for n = 1, #entry[2], 2 do
        fields[entry[2][n]] = entry[2][n + 1]
      end
      local account, scopes = by_organization[fields.o], {}
      if account then
        for scope in string.gmatch(fields.s, '[^,]+') do
          scopes[#scopes + 1] = scope
        end
        add(account.unposted, scopes, tonumber(fields.n))
      end
      from = '(' .. entry[1]
    end
  until #page < PAGE
end

local function count_holds()
  for _, kept in ipairs(redis.call('HVALS', holds)) do
    local organization, _, amount, scopes, limits = unpack(cmsgpack.unpack(string.sub(kept, 11)))
    local account = by_organization[organization]
    if account then
      add(account.held, scopes, amount)
      for _, limit in ipairs(limits) do
        if limit[2] == 'streams' then
          local field = 'l:streams:' .. limit[1]
          account.streams[field] = (account.streams[field] or 0) + limit[4]
        end
      end
    end
  end
end

-- Whether a limit stands as if nobody had used it.
local function is_idle(field, state)
  if string.find(field, '^l:rpd:') then
    return math.floor(state / DAYS) < math.floor(now / DAY)
  end
  return state <= now
end

local is_counted = is_missing or (is_recount and redis.call('XLEN', stream) <= RECOUNT_MOST)
if is_counted then
  for _, account in ipairs(accounts) do
    for scope in pairs(account.balances) do
      account.unposted[scope], account.held[scope] = 0, 0
    end
  end
  count_stream()
  count_holds()
end

for i, account in ipairs(accounts) do
  local had, gone, changes = account.had, {}, {}
  local function change(field, number)
    local text = string.format('%.0f', number)
    if had[field] ~= text then
      changes[#changes + 1] = field
      changes[#changes + 1] = text
    end
  end
  for scope, balance in pairs(account.balances) do
    change('b:' .. scope, balance)
    change('u:' .. scope, account.unposted[scope])
    change('h:' .. scope, account.held[scope])
  end
  for field, state in pairs(had) do
    local scope = string.match(field, '^[buh]:(.*)')
    local is_limit = string.sub(field, 1, 2) == 'l:'
    if scope and not account.balances[scope] then
      gone[#gone + 1] = field
    elseif is_limit and is_counted then
      if string.sub(field, 1, 10) == 'l:streams:' then
        if not account.streams[field] then
          gone[#gone + 1] = field
        end
      elseif is_idle(field, tonumber(state)) then
        gone[#gone + 1] = field
      end
    end
  end
  if is_counted then
    for field, count in pairs(account.streams) do
      change(field, count)
    end
  end
  if account.is_taken then
    change('v', books[i][2])
    if had.e ~= epoch then
      changes[#changes + 1] = 'e'
      changes[#changes + 1] = epoch
    end
  end
  call_all('HDEL', {account.key}, gone)
  call_all('HSET', {account.key}, changes)
end

local answers = {}
for i, account in ipairs(accounts) do
  answers[i] = account.is_taken and 1 or 0
end
return answers
