-- cancel: queued | scheduled -> cancelled
-- Ends a waiting task. One that has ended is left as it is, and so is one that runs, unless that is to end too: then it is
-- noted that it does not wait again, and its supervisor is told (parts/settle.lua, docs/decisions/0040).
-- KEYS prefix
-- ARGV id, who, "" | "running" | "kill"
-- returns "cancelled" | "ordered" | "running" | "ended" | "unknown"
-- uses clock head shelves results endings
local id, who, mode = ARGV[1], ARGV[2], ARGV[3]
local entry = redis.call('HGET', GENERATIONS, id) or id
local message = redis.call('HGET', TASKS, entry)
if not message then
  if result_of(id) or redis.call('HEXISTS', DEAD, id) == 1 then return 'ended' end
  return 'unknown'
end
local h = read_head(message)
if redis.call('ZREM', DELAYED, entry) == 0 then
  for _, worker in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    if redis.call('LPOS', PROCESSING .. worker, entry) then
      if mode == '' then return 'running' end
      local control = CONTROL .. (redis.call('HGET', WORKER .. worker, 'host') or '')
      redis.call('SET', CANCEL .. entry, who, 'PX', 86400000)
      redis.call('ZADD', control, 0, table.concat({'cancel', mode, worker, entry}, ' '))
      redis.call('PEXPIRE', control, 60000)
      return 'ordered'
    end
  end
  redis.call('SADD', GHOSTS .. h.level, entry)
end
finish(entry, h, 'cancelled', who)
return 'cancelled'
