-- part oldest: when the call was made that waits longest, by the first of each list; 0: nothing waits. With keys and tenants
-- there are thousands of lists: some of each priority are looked at.
local MOST_LISTS, MOST_GHOSTS = 30, 10

local function oldest_waiting()
  local oldest = 0
  local function look_at(list)
    for _, entry in ipairs(redis.call('LRANGE', list, 0, MOST_GHOSTS - 1)) do
      local message = redis.call('HGET', TASKS, entry)
      if message then
        local created = read_head(message).created
        if created > 0 and created < now and (oldest == 0 or created < oldest) then oldest = math.floor(created) end
        return
      end
    end
  end
  for _, level in ipairs({'high', 'default', 'low'}) do
    look_at(QUEUE .. level)
    look_at(SUSPECTS .. level)
    for number, lane in ipairs(redis.call('SMEMBERS', LANES_AT .. level)) do
      if number > MOST_LISTS then break end
      look_at(LANE .. level .. ':' .. lane)
    end
  end
  return oldest
end
