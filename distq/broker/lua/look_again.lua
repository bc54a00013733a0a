-- look_again: (moves no task)
-- Some of the keys of a flow look again whether they may have their turn, since a limit has changed. Call it until it
-- answers "0".
-- KEYS prefix
-- ARGV priority name, lane, cursor ("0" to begin)
-- returns the next cursor
-- uses clock head limit wake flow
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so
local cursor = flows().look_again(ARGV[1], ARGV[2], ARGV[3], 200)
mark()
return cursor
