-- Opens a URL with the program that is for it.
on run argv
	open location (item 1 of argv)
	return "done"
end run
