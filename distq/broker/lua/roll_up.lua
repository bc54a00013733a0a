-- roll_up: (history only)
-- A host tells how many attempts have ended there, and how long they took. The same call again adds nothing.
-- KEYS prefix
-- ARGV host, number of the call, then per type: its name, msgpack array of numbers to add
-- returns "ok" | "again"
-- uses clock history
local KNOWN_FOR = 3600000 -- ms

local host, number = ARGV[1], tonumber(ARGV[2])
if number <= (tonumber(redis.call('GET', TOLD .. host)) or 0) then return 'again' end
local types = {}
for i = 3, #ARGV, 2 do types[i - 2], types[i - 1] = ARGV[i], cmsgpack.unpack(ARGV[i + 1]) end
add_to_history({0}, types)
redis.call('SET', TOLD .. host, number, 'PX', KNOWN_FOR)
return 'ok'
