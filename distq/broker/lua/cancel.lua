-- cancel: queued | scheduled -> cancelled
-- Ends a waiting task. One that has ended is left as it is, and so is one that runs, unless that is to end too: then it is
-- noted that it does not wait again, and its supervisor is told (parts/settle.lua, docs/decisions/0040). A call that is sent
-- again since its reply was lost is told the same once more.
-- KEYS prefix
-- ARGV id, who, "" | "running" | "kill", a token of this call
-- returns "cancelled" | "ordered" | "running" | "ended" | "unknown"
-- uses clock head limit wake flow shelves results unique endings cancelling room
local id, who, mode, call = unpack(ARGV)
local entry = redis.call('HGET', GENERATIONS, id) or id
local message = redis.call('HGET', TASKS, entry)
if not message then
  local result = result_of(id)
  if result and string.sub(result, 1, 11) == '\146\169cancelled' and string.find(result, call, 1, true) then return 'cancelled' end
  if result or redis.call('HEXISTS', DEAD, id) == 1 then return 'ended' end
  return 'unknown'
end
local word = cancel_task(entry, message, who, mode, call)
give_room()
if made then mark() end -- what waited for it may run now
return word
