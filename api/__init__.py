"""The HTTP edge: parse, say who may, call one service function, answer. The only place that knows HTTP."""
