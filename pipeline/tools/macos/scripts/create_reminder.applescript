-- Adds a reminder. Arguments: id of the list ("" makes one), its name, due date (6), whether it is for the whole day, name, notes,
-- priority, whether to look first for one that is there.
on run argv
	set theListId to item 1 of argv
	set theListName to item 2 of argv
	set theDate to dateOf(argv, 3)
	set isWholeDay to (item 9 of argv) is "yes"
	set theTitle to item 10 of argv
	set theText to item 11 of argv
	set thePriority to (item 12 of argv) as integer
	set looksFirst to (item 13 of argv) is "yes"
	set theFound to {}
	tell application "Reminders"
		if theListId is "" then
			set theList to make new list with properties {name:theListName}
		else
			set theList to first list whose id is theListId
		end if
		if looksFirst then
			if isWholeDay then
				set theFound to every reminder of theList whose name is theTitle and allday due date is theDate
			else
				set theFound to every reminder of theList whose name is theTitle and due date is theDate
			end if
		end if
		if (count of theFound) is 0 then
			if isWholeDay then
				make new reminder at end of reminders of theList with properties {name:theTitle, body:theText, allday due date:theDate, priority:thePriority}
			else
				make new reminder at end of reminders of theList with properties {name:theTitle, body:theText, due date:theDate, remind me date:theDate, priority:thePriority}
			end if
		end if
	end tell
	return "done"
end run

-- The date that six of the arguments name, from a position on: no locale has a say.
on dateOf(theArguments, thePosition)
	set theDate to current date
	set day of theDate to 1 -- or a shorter month would run over
	set year of theDate to (item thePosition of theArguments) as integer
	set month of theDate to (item (thePosition + 1) of theArguments) as integer
	set day of theDate to (item (thePosition + 2) of theArguments) as integer
	set theHours to (item (thePosition + 3) of theArguments) as integer
	set theMinutes to (item (thePosition + 4) of theArguments) as integer
	set theSeconds to (item (thePosition + 5) of theArguments) as integer
	set time of theDate to theHours * hours + theMinutes * minutes + theSeconds
	return theDate
end dateOf
