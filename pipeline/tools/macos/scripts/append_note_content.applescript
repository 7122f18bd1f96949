-- Adds to the end of a note. Arguments: its id, the addition as HTML.
on run argv
	set theNoteId to item 1 of argv
	set theAddition to item 2 of argv
	tell application "Notes"
		set theNote to note id theNoteId
		if password protected of theNote then return "locked"
		-- Setting the body, the only way to add to it, would lose them.
		if (count of attachments of theNote) > 0 then return "attachments"
		set theBody to (body of theNote) as text
		set body of theNote to theBody & theAddition
	end tell
	return "done"
end run
