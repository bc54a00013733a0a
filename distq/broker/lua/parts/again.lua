-- part again: who changes something for people, and sends it again since the reply was lost, is told the same once more.
local function was_told(verb, call) return redis.call('GET', SENT .. ' ' .. verb) == call end -- no id has a space

local function note_call(verb, call) redis.call('SET', SENT .. ' ' .. verb, call, 'PX', 60000) end
