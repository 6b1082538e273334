#compdef wan

_wan_completion() {
  local answer="$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _WAN_COMPLETE=complete_zsh "${words[1]}" 2>/dev/null)"
  [[ ${words[CURRENT]} == --*=* ]] && compset -P '*='
  eval "$answer"
}

# called by the first TAB where this file is a function of the fpath, else sourced
if [[ ${funcstack[1]} == _wan ]]; then
  _wan_completion "$@"
else
  compdef _wan_completion wan
fi
