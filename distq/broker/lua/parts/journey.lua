-- part journey: tasks that go from one queue to another (docs/decisions/0055). LEAVING holds, in the queue that they leave, the
-- message of each until it has arrived; ARRIVING, in the other one, that it is to come ("expected") or has ("arrived").
-- Both say by which token: that of one move, whoever carries it out.

-- State, token, the other queue, ms when it was noted.
local function note_of(place, id)
  local note = redis.call('HGET', place, id)
  if note then return string.match(note, '^(%S+) (%S+) (%S+) (%d+)') end
end

local function is_bound(h)
  local type = limited_type(h.type)
  return h.version > 1 or redis.call('HEXISTS', LIMITS, type) == 1 or redis.call('HEXISTS', FLOWS, type) == 1
end
