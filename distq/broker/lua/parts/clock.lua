-- part clock: the broker's clock is the only one; microseconds and milliseconds since 1970.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local from_now = math.ceil(now_us / 1000) -- what is due so many ms from now is never early
