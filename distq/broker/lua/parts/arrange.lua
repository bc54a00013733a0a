-- part arrange: gives the lanes of a type the kind that they have to have, after a pause or a limit has come or gone.
local DAY = 86400000

-- The names under which tasks of a type may wait: each version of it, with keys and without.
local function lanes_of(type)
  local lanes = {[type] = true, ['v2/' .. type] = true}
  local function add(names)
    for _, name in ipairs(names) do
      if type_of_flow(name) == type then lanes[name] = true end
    end
  end
  add(redis.call('HKEYS', LANES))
  for _, digest in ipairs(redis.call('SMEMBERS', GROUPS)) do add(redis.call('SMEMBERS', TYPES .. digest)) end
  return lanes
end

local function has_pauses_of(type)
  for _, field in ipairs(redis.call('HKEYS', PAUSED)) do
    if string.match(field, '^%S+') == type then return true end
  end
  return false
end

-- A lane of which nothing says that it has to be one stays until it is empty.
local function arrange(type)
  local is_flow = redis.call('HEXISTS', FLOWS, type) == 1 or has_pauses_of(type)
  local is_limited = redis.call('HEXISTS', LIMITS, type) == 1
  for lane in pairs(lanes_of(type)) do
    local kind, has_keys = redis.call('HGET', LANES, lane), string.sub(lane, 1, 3) == 'v2/'
    if is_flow then
      flows().begin(lane)
    elseif is_limited and has_keys then
      flows().reconsider(lane)
    elseif kind ~= 'flow' or flows().cease(lane) then
      if is_limited then
        redis.call('HSET', LANES, lane, 'limited')
      elseif kind == 'flow' or kind == 'limited' then
        redis.call('HSET', LANES, lane, 'parked ' .. DAY)
      end
      for _, level in ipairs(LEVELS) do
        if redis.call('EXISTS', LANE .. level .. ':' .. lane) == 1 then redis.call('SADD', LANES_AT .. level, lane) end
        leave_empty_lane(level, lane)
      end
    end
  end
end
