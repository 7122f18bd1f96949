-- Sends a message to each recipient. Arguments: service ("SMS", "iMessage" or "auto"), text, numbers (counted). Answers a line a
-- number: "sent" or "failed", number, the error's number, its text.
on run argv
	set theService to item 1 of argv
	set theText to item 2 of argv
	set theRecipients to listOf(argv, 3)
	set theRows to {"done"}
	tell application "Messages"
		set theCount to count of accounts -- so that a missing permission is told, and not taken for a missing account
		set theAccount to missing value
		if theService is not "iMessage" then
			try
				set theAccount to first account whose service type = SMS and enabled is true
			end try
		end if
		if theAccount is missing value and theService is not "SMS" then
			try
				set theAccount to first account whose service type = iMessage and enabled is true
			end try
		end if
		if theAccount is missing value then return "no account"
		repeat with theRecipient in theRecipients
			try
				send theText to participant (contents of theRecipient) of theAccount
				set end of theRows to my rowOf({"sent", contents of theRecipient, 0, ""})
			on error theProblem number theCode
				set end of theRows to my rowOf({"failed", contents of theRecipient, theCode, theProblem})
			end try
		end repeat
	end tell
	return joinedText(theRows, linefeed)
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

-- A line of fields, with tabs between.
on rowOf(theFields)
	set theTexts to {}
	repeat with theField in theFields
		set end of theTexts to escapedText(contents of theField)
	end repeat
	return joinedText(theTexts, tab)
end rowOf

on escapedText(theValue)
	if theValue is missing value then return ""
	set theText to theValue as text
	set theText to replacedText(theText, "\\", "\\\\")
	set theText to replacedText(theText, tab, "\\t")
	set theText to replacedText(theText, linefeed, "\\n")
	set theText to replacedText(theText, return, "\\r")
	return theText
end escapedText

on replacedText(theText, theOld, theNew)
	set AppleScript's text item delimiters to theOld
	set theItems to text items of theText
	set AppleScript's text item delimiters to theNew
	set theText to theItems as text
	set AppleScript's text item delimiters to ""
	return theText
end replacedText

on joinedText(theTexts, theSeparator)
	set AppleScript's text item delimiters to theSeparator
	set theText to theTexts as text
	set AppleScript's text item delimiters to ""
	return theText
end joinedText
