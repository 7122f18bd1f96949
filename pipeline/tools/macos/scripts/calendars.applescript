-- Lists the calendars: position, name, whether it takes events, description.
on run argv
	set theRows to {"done"}
	tell application "Calendar"
		repeat with i from 1 to (count of calendars)
			set theCalendar to calendar i
			set theDescription to ""
			try
				set theDescription to description of theCalendar
			end try
			set end of theRows to my rowOf({i, name of theCalendar, writable of theCalendar, theDescription})
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
