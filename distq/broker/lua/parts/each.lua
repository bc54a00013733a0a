-- part each: runs a whole script for each of several queues. What fails in one of them keeps it from no other; only if it
-- fails in all, it has failed.
local prefixes = KEYS
local function one(KEYS)
-- the script
end
local replies, failures = {}, 0
for i = 1, #prefixes do
  local done, reply = pcall(one, {prefixes[i]})
  if not done then
    reply = type(reply) == 'table' and reply.err or tostring(reply)
    reply, failures = redis.error_reply(reply:match('%-(%u+ .*)') or reply), failures + 1
  end
  replies[i] = reply
end
return failures == #prefixes and replies[1] or replies
