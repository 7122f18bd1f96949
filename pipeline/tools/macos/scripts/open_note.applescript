-- Gives the text of a note. Arguments: its id, whether to show it.
on run argv
	set theNoteId to item 1 of argv
	set isShown to (item 2 of argv) is "yes"
	tell application "Notes"
		set theNote to note id theNoteId
		if password protected of theNote then return "locked"
		set theText to plaintext of theNote
		if isShown then show theNote
	end tell
	return "done" & linefeed & theText
end run
