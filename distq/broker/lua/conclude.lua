-- conclude: (moves no task)
-- A move is over for these tasks: first for the queue that they have left, then for the other one.
-- KEYS prefix
-- ARGV token of the move, ids…
-- returns how many notes there were
-- uses limit journey
local number = 0
for i = 2, #ARGV do
  for _, place in ipairs({LEAVING, ARRIVING}) do
    local _, whose = note_of(place, ARGV[i])
    if whose == ARGV[1] then number = number + redis.call('HDEL', place, ARGV[i]) end
  end
end
return number
