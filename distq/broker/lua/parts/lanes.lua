-- part lanes: what is empty is forgotten, also if nobody ever takes from it again.
local LANES_SWEPT, GHOSTS_SWEPT = 10, 50

local function leave_empty_lane(level, lane)
  if redis.call('EXISTS', LANE .. level .. ':' .. lane) == 1 then return end
  redis.call('SREM', LANES_AT .. level, lane)
  if redis.call('HGET', LANES, lane) ~= 'limited' and redis.call('EXISTS', LANE .. 'high:' .. lane,
      LANE .. 'default:' .. lane, LANE .. 'low:' .. lane) == 0 then
    redis.call('HDEL', LANES, lane)
    lost_a_lane = true
  end
end

-- Ghosts go when a worker takes from their list. Those of a type that no worker knows go here, from the front.
local function sweep_lanes()
  for _, level in ipairs(LEVELS) do
    if redis.call('EXISTS', GHOSTS .. level) == 1 then
      for _, lane in ipairs(redis.call('SRANDMEMBER', LANES_AT .. level, LANES_SWEPT)) do
        local list = LANE .. level .. ':' .. lane
        for _ = 1, GHOSTS_SWEPT do
          local first = redis.call('LINDEX', list, 0)
          if not first or redis.call('SREM', GHOSTS .. level, first) == 0 then break end
          redis.call('LPOP', list)
        end
        leave_empty_lane(level, lane)
      end
    end
  end
end
