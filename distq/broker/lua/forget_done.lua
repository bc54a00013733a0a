-- forget_done: (history only)
-- Deletes what is kept of the completed tasks of a type for its history=. Their results stay.
-- KEYS prefix
-- ARGV type
-- returns how many there were
local number = redis.call('ZCARD', DONE_AT .. ARGV[1])
redis.call('UNLINK', DONE .. ARGV[1], DONE_AT .. ARGV[1])
redis.call('SREM', DONE_TYPES, ARGV[1])
return number
