"""One module of routes a subdomain; each says who may call, parses, calls one service function, and answers."""
