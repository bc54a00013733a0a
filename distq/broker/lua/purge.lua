-- purge: queued | scheduled -> cancelled
-- Cancels waiting tasks of one priority, or the scheduled ones, at most 500 a call; call again until it returns 0.
-- KEYS prefix
-- ARGV "high" | "default" | "low" | "scheduled", who
-- returns how many list entries were taken
-- uses clock head limit wake flow shelves unique endings room
local level, who = ARGV[1], ARGV[2]
local entries, taken

local function take(list)
  if not entries or #entries == 0 then entries = redis.call('LPOP', list, 500) end
end

if level == 'scheduled' then
  entries = redis.call('ZRANGE', DELAYED, 0, 499)
  if #entries > 0 then redis.call('ZREM', DELAYED, unpack(entries)) end
else
  redis.call('ZREM', WAKE, 'w')
  redis.call('ZREM', WAKE_ALONE, 'w')
  take(QUEUE .. level)
  take(SUSPECTS .. level)
  if not entries and redis.call('EXISTS', FLOWING) == 1 then entries = flows().take_any(level, 500) end
  for _, lane in ipairs(redis.call('SMEMBERS', LANES_AT .. level)) do
    if redis.call('HGET', LANES, lane) ~= 'flow' then
      take(LANE .. level .. ':' .. lane)
      if redis.call('EXISTS', LANE .. level .. ':' .. lane) == 0 then redis.call('SREM', LANES_AT .. level, lane) end
    end
  end
end
entries = entries or {}
for _, entry in ipairs(entries) do
  local message = redis.call('HGET', TASKS, entry)
  if message then
    finish(entry, read_head(message), 'cancelled', who)
  else
    redis.call('SREM', GHOSTS .. level, entry)
  end
end
give_room()
mark()
return #entries
