-- Lists folders and notes, a line each of six fields: "folder", id, name, id of what it is in, account, whether it is the default
-- one; "note", id, name, folder's id. Folders are asked for their notes: a note's own word on its folder cannot be relied on.
on run argv
	set theRows to {"done"}
	set theSeen to {}
	tell application "Notes"
		set theDefault to ""
		try
			set theDefault to id of default folder of default account
		end try
		repeat with i from 1 to (count of accounts)
			set theAccount to account i
			repeat with j from 1 to (count of folders of theAccount)
				my addFolder(folder j of theAccount, name of theAccount, theDefault, theRows, theSeen)
			end repeat
		end repeat
	end tell
	return joinedText(theRows, linefeed)
end run

-- Adds to two lists, which it shares with its caller: the rows, and the ids of the folders that are in them.
on addFolder(theFolder, theAccountName, theDefault, theRows, theSeen)
	tell application "Notes"
		set theId to id of theFolder
		if theSeen contains theId then return
		set end of theSeen to theId
		set theParent to ""
		try
			-- In two steps: in one, Notes refuses.
			set theContainer to container of theFolder
			set theParent to id of theContainer
		end try
		set isDefault to "no"
		if theId is theDefault then set isDefault to "yes"
		set end of theRows to my rowOf({"folder", theId, name of theFolder, theParent, theAccountName, isDefault})
		set theNoteIds to id of notes of theFolder
		set theNoteNames to name of notes of theFolder
		repeat with i from 1 to (count of theNoteIds)
			set end of theRows to my rowOf({"note", item i of theNoteIds, item i of theNoteNames, theId, "", ""})
		end repeat
		set theCount to 0
		try
			set theCount to count of folders of theFolder
		end try
		repeat with i from 1 to theCount
			my addFolder(folder i of theFolder, theAccountName, theDefault, theRows, theSeen)
		end repeat
	end tell
end addFolder

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
