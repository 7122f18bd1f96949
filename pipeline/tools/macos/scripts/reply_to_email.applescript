-- Saves a reply to the selected message among the drafts. Arguments: Mail's number of the message, text, copies, paths of attachments
-- (each counted).
on run argv
	set theNumber to item 1 of argv
	set theText to item 2 of argv
	set theCopies to listOf(argv, 3)
	set theFiles to {}
	repeat with thePath in listOf(argv, 4 + (count of theCopies))
		set end of theFiles to POSIX file (contents of thePath)
	end repeat
	tell application "Mail"
		set theSelection to selection
		if theSelection is missing value then return "changed"
		if (count of theSelection) is not 1 then return "changed"
		set theMessage to item 1 of theSelection
		if ((id of theMessage) as text) is not theNumber then return "changed"
		-- With a window, Mail composes in a form whose text no script can set.
		set theReply to reply theMessage without opening window
		try
			set content of theReply to theText & linefeed
			repeat with theAddress in theCopies
				tell theReply to make new cc recipient at end of cc recipients with properties {address:(contents of theAddress)}
			end repeat
			repeat with theFile in theFiles
				tell content of theReply to make new attachment with properties {file name:(contents of theFile)} at after the last paragraph
				delay 0.5 -- Mail drops attachments that come too fast
			end repeat
			save theReply
		on error theProblem number theCode
			try
				delete theReply
			end try
			error theProblem number theCode
		end try
	end tell
	return "done"
end run

-- The list whose count stands at a position of the arguments, and its items after it.
on listOf(theArguments, thePosition)
	set theItems to {}
	set theCount to (item thePosition of theArguments) as integer
	repeat with i from 1 to theCount
		set end of theItems to item (thePosition + i) of theArguments
	end repeat
	return theItems
end listOf
