-- part places: how many tasks are in each state. Ghosts (ended, but still in a list) do not count.
local function count_places()
  local levels = {'high', 'default', 'low'}
  local depth, in_lanes, running = {}, 0, 0
  local flowing, counts = {high = 0, default = 0, low = 0}, redis.call('HGETALL', FLOWING)
  for i = 1, #counts, 2 do
    local level = string.match(counts[i], '^%a+')
    flowing[counts[i]], flowing[level] = true, flowing[level] + counts[i + 1]
  end
  for level = 1, 3 do
    local name = levels[level]
    local lanes = flowing[name]
    for _, lane in ipairs(redis.call('SMEMBERS', LANES_AT .. name)) do
      if not flowing[name .. ' ' .. lane] then lanes = lanes + redis.call('LLEN', LANE .. name .. ':' .. lane) end
    end
    depth[level] = math.max(0, redis.call('LLEN', QUEUE .. name) + redis.call('LLEN', SUSPECTS .. name) + lanes
      - redis.call('SCARD', GHOSTS .. name))
    in_lanes = in_lanes + lanes
  end
  local workers = redis.call('ZRANGE', LEASES, 0, -1)
  for _, worker in ipairs(workers) do running = running + redis.call('LLEN', PROCESSING .. worker) end
  return {depth[1], depth[2], depth[3], redis.call('ZCARD', DELAYED), running, redis.call('ZCARD', DEAD_LETTERS),
    redis.call('HLEN', TASKS), in_lanes, #workers, redis.call('HLEN', LEAVING) + redis.call('HLEN', ARRIVING)}
end
