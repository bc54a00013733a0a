-- backlog: (read only)
-- What tally says, and at the same instant what of it can run: of lanes as far as their limits allow. Which types are
-- scheduled is looked up, so that the ledger says which are not; or of much that is, which types are ready beside lanes.
-- KEYS prefix
-- returns {what tally returns, {1 if the queue is paused, ms for which the front has waited, ms since when something is due},
--   {lane, how many wait in it, how many can run, …}, "ready" | "scheduled", {type, how many of those that were looked up, …}}
-- uses clock head limit front places
local call = redis.call
local LEVELS = {'high', 'default', 'low'}
local BLOCKS, IN_BLOCK = 40, 5 -- so many of so many entries are looked up
local MOST_LANES = 100

-- How many of a flow (parts/flow.lua) can run, and the list of one that can.
local function open_of_flow(level, flow, waiting)
  local list, room, policy = next_of_flow(level, flow)
  if not list then return 0 end
  local at = level .. ':' .. flow
  local most, open = policy.o and 1 or policy.mk or math.huge, nil
  if call('HLEN', BLOCKED .. at) == 0 and most == math.huge then
    open = waiting
  else
    local keys = call('ZRANGE', TURNS .. at, 0, MOST_LANES - 1)
    open = 0
    for _, key in ipairs(keys) do open = open + math.min(most, call('LLEN', lane_of_key(at, key))) end
    open = open * call('ZCARD', TURNS .. at) / #keys
  end
  return math.floor(math.min(waiting, open, room)), list
end

local lanes, is_flow = {}, {}
local function add_lane(lane, waiting, open, front)
  for i, value in ipairs({lane, waiting, open}) do lanes[#lanes + 1] = value end
  if open > 0 and front and #lanes <= 3 * MOST_LANES then compare_front(front) end
end

local flowing = call('HGETALL', FLOWING)
for i = 1, #flowing, 2 do
  local level, flow = string.match(flowing[i], '^(%S+) (%S+)$')
  is_flow[flowing[i]] = true
  add_lane(flow, tonumber(flowing[i + 1]), open_of_flow(level, flow, tonumber(flowing[i + 1])))
end
local lists, listed = {}, 0
for _, level in ipairs(LEVELS) do
  for _, lane in ipairs(call('SMEMBERS', LANES_AT .. level)) do
    local list = LANE .. level .. ':' .. lane
    local waiting = not is_flow[level .. ' ' .. lane] and call('LLEN', list) or 0
    if waiting > 0 then add_lane(lane, waiting, math.min(waiting, tokens_of(limited_type(lane))), list) end
  end
  for _, list in ipairs({SUSPECTS .. level, QUEUE .. level}) do
    local length = call('LLEN', list)
    if length > 0 then
      compare_front(list)
      lists[#lists + 1], listed = {list, length}, listed + length
    end
  end
end

-- The types of what is in these, evenly over all of them.
local types, order = {}, {}
local function look_up(command, places, number)
  local step, at = math.max(IN_BLOCK, number / BLOCKS), 0
  for _, place in ipairs(places) do
    while at < place[2] do
      local start = math.floor(at)
      for _, message in ipairs(messages_of(call(command, place[1], start, start + IN_BLOCK - 1))) do
        local type = string.sub(message, HEAD_SIZE + 1, HEAD_SIZE + string.byte(message, HEAD_SIZE))
        if not types[type] then types[type], order[#order + 1] = 0, type end
        types[type] = types[type] + 1
      end
      at = at + step
    end
    at = step == IN_BLOCK and 0 or at - place[2]
  end
end

local scheduled = call('ZCARD', DELAYED)
local which = (scheduled > BLOCKS * IN_BLOCK and scheduled > listed) and 'ready' or 'scheduled'
if which == 'ready' then look_up('LRANGE', lists, listed) else look_up('ZRANGE', {{DELAYED, scheduled}}, scheduled) end
local found = {}
for _, type in ipairs(order) do found[#found + 1], found[#found + 2] = type, types[type] end

local due = math.min(tonumber(call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2] or now),
  tonumber(call('ZRANGE', FIRES, 0, 0, 'WITHSCORES')[2] or now))
local paused = call('EXISTS', STOPPED)
return {{count_places(), call('HGETALL', LEDGER)},
  {paused, paused == 1 and 0 or math.floor(front_ms), math.max(0, math.floor(now - due))}, lanes, which, found}
