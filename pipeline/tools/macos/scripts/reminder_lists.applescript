-- Lists the lists of reminders: id, name, account, whether it is the default one.
on run argv
	set theRows to {"done"}
	tell application "Reminders"
		set theDefault to ""
		try
			set theDefault to id of default list
		end try
		repeat with i from 1 to (count of accounts)
			set theAccount to account i
			set theAccountName to name of theAccount
			set theIds to id of lists of theAccount
			set theNames to name of lists of theAccount
			repeat with j from 1 to (count of theIds)
				set isDefault to "no"
				if item j of theIds is theDefault then set isDefault to "yes"
				set end of theRows to my rowOf({item j of theIds, item j of theNames, theAccountName, isDefault})
			end repeat
		end repeat
	end tell
	return joinedText(theRows, linefeed)
end run

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
