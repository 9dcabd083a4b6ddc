-- What wrk sends for `bench proxy --post`: a write of 1 KiB.
wrk.method = "POST"
wrk.body = string.rep("a", 1024)
wrk.headers["Content-Type"] = "application/octet-stream"
