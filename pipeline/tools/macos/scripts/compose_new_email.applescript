-- Opens a draft. Arguments: sender ("" for the usual one), subject, text, recipients, copies, paths of attachments (each counted).
on run argv
	set theSender to item 1 of argv
	set theSubject to item 2 of argv
	set theText to item 3 of argv
	set thePosition to 4
	set theRecipients to listOf(argv, thePosition)
	set thePosition to thePosition + 1 + (count of theRecipients)
	set theCopies to listOf(argv, thePosition)
	set thePosition to thePosition + 1 + (count of theCopies)
	set theFiles to {}
	repeat with thePath in listOf(argv, thePosition)
		set end of theFiles to POSIX file (contents of thePath)
	end repeat
	tell application "Mail"
		set theMessage to make new outgoing message with properties {subject:theSubject, content:theText & linefeed, visible:false}
		try
			if theSender is not "" then set sender of theMessage to theSender
			repeat with theAddress in theRecipients
				tell theMessage to make new to recipient at end of to recipients with properties {address:(contents of theAddress)}
			end repeat
			repeat with theAddress in theCopies
				tell theMessage to make new cc recipient at end of cc recipients with properties {address:(contents of theAddress)}
			end repeat
			repeat with theFile in theFiles
				tell content of theMessage to make new attachment with properties {file name:(contents of theFile)} at after the last paragraph
				delay 0.5 -- Mail drops attachments that come too fast
			end repeat
			set visible of theMessage to true
		on error theProblem number theNumber
			try
				delete theMessage
			end try
			error theProblem number theNumber
		end try
		activate
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
