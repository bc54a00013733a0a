-- cancel: queued | scheduled -> cancelled
-- Ends a waiting task. One that runs, or has ended, is left as it is.
-- KEYS prefix
-- ARGV id, who
-- returns "cancelled" | "running" | "ended" | "unknown"
-- uses clock head shelves results endings
local id, who = ARGV[1], ARGV[2]
local entry = redis.call('HGET', GENERATIONS, id) or id
local message = redis.call('HGET', TASKS, entry)
if not message then
  if result_of(id) or redis.call('HEXISTS', DEAD, id) == 1 then return 'ended' end
  return 'unknown'
end
local h = read_head(message)
if redis.call('ZREM', DELAYED, entry) == 0 then
  for _, worker in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    if redis.call('LPOS', PROCESSING .. worker, entry) then return 'running' end
  end
  redis.call('SADD', GHOSTS .. h.level, entry)
end
finish(entry, h, 'cancelled', who)
return 'cancelled'
