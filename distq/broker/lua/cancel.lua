-- cancel: queued | scheduled -> cancelled
-- Ends waiting tasks. One that has ended is left as it is, and so is one that runs, unless that is to end too: then it is
-- noted that it does not wait again, and its supervisor is told (parts/settle.lua, docs/decisions/0040). A call that is sent
-- again since its reply was lost is told the same once more.
-- KEYS prefix
-- ARGV id, who, "" | "running" | "kill", a token of this call, further ids…
-- returns "cancelled" | "ordered" | "running" | "ended" | "unknown"; with further ids one for each
-- uses clock head limit wake flow shelves results unique endings cancelling room
local who, mode, call = ARGV[2], ARGV[3], ARGV[4]

local function cancel(id)
  local entry = redis.call('HGET', GENERATIONS, id) or id
  local message = redis.call('HGET', TASKS, entry)
  if message then return cancel_task(entry, message, who, mode, call) end
  local result = result_of(id)
  if result and string.sub(result, 1, 11) == '\146\169cancelled' and string.find(result, call, 1, true) then return 'cancelled' end
  return (result or redis.call('HEXISTS', DEAD, id) == 1) and 'ended' or 'unknown'
end

local words = {cancel(ARGV[1])}
for i = 5, #ARGV do words[#words + 1] = cancel(ARGV[i]) end
give_room()
if made then mark() end -- what waited for it may run now
return #words == 1 and words[1] or words
