-- One POST over and over, every answer checked (the events of a stream are counted in
-- one of 16). Arguments: API key, body, events of a stream
-- (0: not streamed), mean pause in ms between an answer and the next request (0: none).

local threads, events, pause, answers = {}, 0, 0, 0
wrong = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  wrk.method = "POST"
  wrk.headers["Authorization"] = "Bearer " .. args[1]
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = args[2]
  events = tonumber(args[3])
  pause = tonumber(args[4])
  if pause > 0 then
    math.randomseed(1)
    delay = function() return math.random() * 2 * pause + 0.5 end
  end
end

local function whole(body)
  return body:find('"completion_tokens":16', 1, true) and body:sub(-1) == "}"
end

local function streamed(body)
  answers = answers + 1
  if body:sub(-14) ~= "data: [DONE]\n\n" then return false end
  if answers % 16 ~= 0 then return true end
  local _, count = body:gsub("data: ", "")
  return count == events
end

function response(status, _, body)
  local is_right = events > 0 and streamed or whole
  if status ~= 200 or not is_right(body) then wrong = wrong + 1 end
end

function done(summary, latency, _)
  local e, wrong = summary.errors, 0
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("wrong") end
  io.write(string.format(
    '\n{"requests":%d,"duration_s":%f,"p50_ms":%f,"p99_ms":%f,"errors":%d,"wrong":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout, wrong))
end
