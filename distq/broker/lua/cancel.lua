-- cancel: queued | scheduled -> cancelled
-- Ends a waiting task. One that has ended is left as it is, and so is one that runs, unless that is to end too: then it is
-- noted that it does not wait again, and its supervisor is told (parts/settle.lua, docs/decisions/0040).
-- KEYS prefix
-- ARGV id, who, "" | "running" | "kill"
-- returns "cancelled" | "ordered" | "running" | "ended" | "unknown"
-- uses clock head shelves results endings cancelling
local id = ARGV[1]
local entry = redis.call('HGET', GENERATIONS, id) or id
local message = redis.call('HGET', TASKS, entry)
if not message then
  if result_of(id) or redis.call('HEXISTS', DEAD, id) == 1 then return 'ended' end
  return 'unknown'
end
return cancel_task(entry, message, ARGV[2], ARGV[3])
