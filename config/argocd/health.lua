-- Argo CD's health of a MailDomain, DNSProvider or ClusterDNSProvider. It says what kstatus, and so Flux,
-- makes of the same object; spec.suspend and mode Observe, which somebody asked for, are Suspended.

local status = obj.status or {}

local function condition(kind)
  for _, c in ipairs(status.conditions or {}) do
    if c.type == kind then
      return c
    end
  end
  return {}
end

local function health(state, message)
  return {status = state, message = message or ""}
end

local ready = condition("Ready")

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", ready.message or "it is deleted")
end
if obj.spec ~= nil and obj.spec.suspend == true then
  return health("Suspended", "nothing is done while spec.suspend is true")
end
if ready.status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "waiting for the operator to look at it")
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
if ready.reason == "Observing" then
  return health("Suspended", ready.message)
end

-- What is wrong is in the conditions that Ready sums up.
local message = ready.message or ""
for _, c in ipairs(status.conditions or {}) do
  if c.status ~= "True" and c.type ~= "Ready" and c.message ~= nil and c.message ~= ready.message then
    message = message .. "; " .. c.type .. ": " .. c.message
  end
end
if condition("Reconciling").status == "True" or ready.status == "Unknown" and condition("Stalled").status ~= "True" then
  return health("Progressing", message)
end
return health("Degraded", message)
