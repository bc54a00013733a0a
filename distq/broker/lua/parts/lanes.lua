-- part lanes: a lane that is empty is forgotten.
local function leave_empty_lane(level, lane)
  if redis.call('EXISTS', LANE .. level .. ':' .. lane) == 1 then return end
  redis.call('SREM', LANES_AT .. level, lane)
  if redis.call('HGET', LANES, lane) ~= 'limited' and redis.call('EXISTS', LANE .. 'high:' .. lane,
      LANE .. 'default:' .. lane, LANE .. 'low:' .. lane) == 0 then
    redis.call('HDEL', LANES, lane)
    lost_a_lane = true
  end
end
