"""The commands, one function each: parse, call one function of runtime or report, print, exit with a code."""
