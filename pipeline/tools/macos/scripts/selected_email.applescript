-- Gives the message that is selected: Mail's number of it, and below that all of it as it came.
on run argv
	tell application "Mail"
		set theSelection to selection
		if theSelection is missing value then return "none"
		if (count of theSelection) is 0 then return "none"
		if (count of theSelection) > 1 then
			set theRows to {"ambiguous"}
			repeat with theMessage in theSelection
				set theSubject to subject of theMessage
				set theSender to sender of theMessage
				set end of theRows to my rowOf({theSubject & ", from " & theSender})
			end repeat
			return my joinedText(theRows, linefeed)
		end if
		set theMessage to item 1 of theSelection
		set theNumber to (id of theMessage) as text
		set theSource to source of theMessage
	end tell
	return "done" & linefeed & theNumber & linefeed & theSource
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
