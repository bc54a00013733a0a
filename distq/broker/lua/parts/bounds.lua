-- part bounds: so many may wait, of a queue and of a type (docs/decisions/0052). A bound is {type, or "" for the queue,
-- most, how}; how: "reject", "block" (the caller waits, see parts/room.lua), "drop" (those go that have waited longest).
local DROPPED = 'dropped: queue full'
local PER_DROP = 1000 -- looked at
local GUESS, LEAST, LONGEST = 1000, 50, 60000

-- How many are in lists from which they can be dropped.
local function count_waiting(type)
  local number = 0
  if type == '' then
    number = count_pending('') - redis.call('ZCARD', DELAYED)
    for _, level in ipairs(LEVELS) do number = number - redis.call('LLEN', SUSPECTS .. level) end
    return number
  end
  for _, level in ipairs(LEVELS) do
    for _, count in ipairs(redis.call('HMGET', FLOWING, level .. ' ' .. type, level .. ' v2/' .. type)) do
      number = number + (count or 0)
    end
  end
  return number
end

-- For how many of so many new ones there is room, and if not for all, the bound that says so and what is pending there.
local function find_room(bounds, number, is_ready)
  local fit, by, pending = number, nil, 0
  for _, bound in ipairs(bounds) do
    local type, most, how = unpack(bound)
    local count = count_pending(type)
    local room = most - count
    if how == 'drop' and room < fit then
      local rest = count - count_waiting(type) -- they stay
      if not is_ready then room = most - rest elseif rest < most then room = fit end
    end
    if room < fit then fit, by, pending = math.max(room, 0), bound, count end
  end
  return fit, by, pending
end

-- In so many ms there may be room for `number` more, at the rate at which they went since a refusal at least 1 s ago.
local function guess_retry(type, number)
  local gone = 0
  if type == '' then
    gone = tonumber(redis.call('HGET', META, 'fence') or 0)
  else
    for _, event in ipairs({'completed ', 'dead ', 'cancelled ', 'expired ', 'moved '}) do
      gone = gone + (redis.call('HGET', LEDGER, event .. type) or 0)
    end
  end
  local at, before, rate = string.match(redis.call('HGET', REFUSED, type) or '', '^(%S+) (%S+) (%S+)$')
  rate = tonumber(rate or 0)
  if not at or now - at >= 1000 or now < tonumber(at) then
    if at and now > tonumber(at) then rate = (gone - before) / (now - at) end
    redis.call('HSET', REFUSED, type, string.format('%.0f %.0f %.9g', now, gone, rate))
    redis.call('PEXPIRE', REFUSED, 3600000)
  end
  return rate > 0 and math.floor(math.min(math.max(number / rate, LEAST), LONGEST)) or GUESS
end

-- What the caller is told of those for which there is no room; one that waits is noted.
local function refuse(bound, pending, number)
  local type, most, how = unpack(bound)
  if how == 'block' then
    redis.call('ZADD', WANTED, now + WAIT_FOR_ROOM, string.format('%.0f', most) .. ' ' .. type)
    redis.call('PEXPIRE', WANTED, WAIT_FOR_ROOM)
    redis.call('HSET', META, 'wanted', 1)
  end
  return string.format('%s %.0f %.0f %.0f %s', how, most, pending, guess_retry(type, pending + number - most), type)
end

local function make_dropper(type)
  local D, fronts, left, call = {}, {}, PER_DROP, redis.call

  local function is_of(flow) return type == '' or flow == type or flow == 'v2/' .. type end

  local function find_fronts()
    for _, level in ipairs(LEVELS) do
      if type == '' then fronts[#fronts + 1] = {level = level, list = QUEUE .. level} end
      for _, lane in ipairs(type == '' and call('SRANDMEMBER', LANES_AT .. level, 20) or {}) do
        if call('HGET', LANES, lane) ~= 'flow' and lane ~= ISOLATION then
          fronts[#fronts + 1] = {level = level, lane = lane, list = LANE .. level .. ':' .. lane}
        end
      end
    end
    for _, field in ipairs(call('HKEYS', FLOWING)) do
      local level, flow = string.match(field, '^(%S+) (%S+)$')
      if is_of(flow) then fronts[#fronts + 1] = {level = level, flow = flow} end
    end
  end

  -- The first that lives in a list, or in the lane of a flow whose turn it would be.
  local function look(front)
    front.entry = nil
    while left > 0 do
      left = left - 1
      local list, key = front.list, nil
      if front.flow then list, key = flows().any_lane(front.level, front.flow) end
      local entry = list and call('LINDEX', list, 0)
      local message = entry and call('HGET', TASKS, entry)
      front.key, front.entry, front.h = key, message and entry, message and read_head(message)
      if not entry or message then return end
      D.take(front)
      call('SREM', GHOSTS .. front.level, entry)
    end
  end

  function D.take(front)
    if front.flow then return flows().take_first(front.level, front.flow, front.key) end
    call('LPOP', front.list)
    if front.lane then leave_empty_lane(front.level, front.lane) end
  end

  function D.drop(number)
    find_fronts()
    for _, front in ipairs(fronts) do look(front) end
    for _ = 1, number do
      local oldest
      for _, front in ipairs(fronts) do
        if front.entry and (not oldest or front.h.created < oldest.h.created) then oldest = front end
      end
      if not oldest then return end
      D.take(oldest)
      finish(oldest.entry, oldest.h, 'cancelled', DROPPED)
      look(oldest)
    end
  end

  return D
end

-- After the new ones have been placed: what is too much ends.
local function keep_bounds(bounds)
  for _, bound in ipairs(bounds) do
    local type, most, how = unpack(bound)
    local excess = how == 'drop' and count_pending(type) - most or 0
    if excess > 0 then
      redis.call('ZREM', WAKE, 'w')
      make_dropper(type).drop(math.min(excess, PER_DROP))
    end
  end
  give_room()
end
